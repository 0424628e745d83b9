import pytest

from arriero.backends.dialects import backend


@pytest.mark.parametrize("name", ["ollama", "openai"])
def test_each_dialect_is_found_by_its_name(name):
    assert backend(name).name == name


@pytest.mark.parametrize("name", ["", "auto", "vllm"])
def test_an_unknown_dialect_is_a_mistake_of_the_caller(name):
    with pytest.raises(ValueError, match="ollama, openai"):
        backend(name)
