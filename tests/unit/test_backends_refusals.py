import pytest

from arriero.backends.refusals import refused, reported, retry_after_s
from arriero.backends.wire import Broken, HttpReply
from arriero.core.outcome import FailureKind

HTML = b"<html><head><title>Error</title></head></html>"


def failed(status, body=b"", **ways):
    return refused(HttpReply(status=status, body=body, latency_s=0.5, **ways), "/api/chat")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (301, b"", "redirected"),
        (308, b"", "redirected"),
        (401, b'{"error":"unauthorized","signin_url":"x"}', "unauthorized"),
        (402, b"", "unauthorized"),
        (403, b"", "unauthorized"),
        (403, HTML, "unauthorized"),
        (404, b"""{"error":"model 'nope:1b' not found"}""", "model_missing"),
        (404, b'{"object":"error","message":"The model `x` does not exist.","code":404}', "model_missing"),
        (404, b'{"error":{"message":"x","code":"model_not_found"}}', "model_missing"),
        (404, b"404 page not found", "unsupported"),
        (404, HTML, "unsupported"),
        (404, b'{"detail":"Not Found"}', "unsupported"),
        (404, b'{"error":{"message":"File Not Found","type":"not_found_error"}}', "unsupported"),
        (405, b"405 method not allowed", "unsupported"),
        (408, b"", "timeout"),
        (413, HTML, "rejected"),
        (422, b'{"detail":[{"loc":["body"],"msg":"field required"}]}', "rejected"),
        (429, b"", "overloaded"),
        (503, HTML, "overloaded"),
        (400, b'{"error":"unexpected EOF"}', "rejected"),
        (400, b'{"error":"server busy, the user wrote"}', "rejected"),
        (400, b'{"error":"the input length exceeds the context length"}', "too_long"),
        (400, b"Client sent an HTTP request to an HTTPS server.", "bad_reply"),
        (400, HTML, "bad_reply"),
        (499, b'{"error":"request canceled"}', "server_error"),
        (500, b'{"error":"option \\"temperature\\" must be of type float32"}', "rejected"),
        (500, b'{"error":"invalid JSON schema in format"}', "rejected"),
        (500, b'{"error":"model requires more system memory (9 GiB) than is available"}', "server_error"),
        (500, b'{"error":"timed out waiting for llama-server to start"}', "server_error"),
        (500, b'{"error":"CUDA error: operation not supported, process has terminated"}', "server_error"),
        (500, b"", "server_error"),
        (501, b'{"error":"This server does not support embeddings."}', "unsupported"),
        (502, HTML, "server_error"),
        (504, HTML, "server_error"),
        (0, b"", "unreachable"),
        (100, b"", "bad_reply"),
    ],
)
def test_a_status_and_its_text_have_one_meaning(status, body, kind):
    failure = failed(status, body)

    assert failure.kind.value == kind
    assert failure.status == (status or None)
    assert failure.latency_s == 0.5
    assert not failure.crashed


@pytest.mark.parametrize(
    "text",
    [
        "an error was encountered while running the model: unexpected EOF",
        "llama-server process no longer running: unknown ",
        "llama runner process no longer running: -1 ",
        'do load request: Post \\"http://x/completion\\": dial tcp 127.0.0.1:36219: connect: connection refused',
        "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error",
    ],
)
def test_the_death_of_a_serving_model_process_is_a_crash(text):
    failure = failed(500, f'{{"error":"{text}"}}'.encode())

    assert (failure.kind, failure.crashed) == (FailureKind.SERVER_ERROR, True)


@pytest.mark.parametrize(
    ("text", "kind", "crashed"),
    [
        ('do embedding request: Post \\"http://127.0.0.1:39263/embedding\\": EOF', "server_error", True),
        ("connection refused", "server_error", True),
        ('health resp: Get \\"http://127.0.0.1:39971/health\\": connection reset by peer', "server_error", True),
        ("llama runner process no longer running: -1 ", "server_error", True),
        ("model requires more system memory (9 GiB) than is available", "server_error", False),
        ("Input content cannot be empty", "rejected", False),
        ("the input length exceeds the context length", "too_long", False),
        ("unexpected EOF", "rejected", False),
    ],
)
def test_a_400_for_an_embedding_is_judged_by_its_text_alone(text, kind, crashed):
    reply = HttpReply(status=400, body=f'{{"error":"{text}"}}'.encode())

    assert (refused(reply, "/api/embed").kind.value, refused(reply, "/api/embed").crashed) == (kind, crashed)
    assert not refused(reply, "/api/chat").crashed


def test_the_death_of_a_loading_model_process_suspects_no_request():
    failure = failed(500, b'{"error":"llama-server process has terminated: signal: killed"}')

    assert (failure.kind, failure.crashed) == (FailureKind.SERVER_ERROR, False)


def test_a_missing_path_is_named():
    assert failed(404, b"404 page not found").detail.startswith("/api/chat ")
    assert failed(405).detail.startswith("/api/chat ")


def test_a_403_without_a_text_is_explained():
    assert "host name" in failed(403).detail
    assert failed(403, b'{"error":"cloud is disabled"}').detail == "cloud is disabled"


@pytest.mark.parametrize("status", [301, 401, 403, 404, 408, 429, 499, 500, 502, 503])
def test_why_is_told_without_a_word_of_the_servers(status):
    failure = failed(status, b'{"error":"canary"}', location="canary")

    assert "canary" in failure.detail
    assert failure.reason == f"answered {status}"


def test_why_is_told_in_our_words_where_we_have_some():
    refused_name = failed(403)
    cut = failed(0, broken=Broken(FailureKind.UNREACHABLE, "connection refused"))
    inside = reported(HttpReply(status=200), b'"canary"')

    assert refused_name.reason.startswith("403 without a text: the server does not accept the host name")
    assert cut.reason == "connection refused"
    assert (inside.detail, inside.reason) == ("canary", "an error inside a 200")


def test_a_redirect_keeps_where_it_leads():
    assert failed(307, location="http://elsewhere/").detail == "http://elsewhere/"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (
            '{\\"error\\":{\\"message\\":\\"x\\",\\"type\\":\\"exceed_context_size_error\\",\\"n_prompt_tokens\\":829}}',
            829,
        ),
        ("request (829 tokens) exceeds the available context size (256 tokens)", 829),
        ("This model's maximum context length is 4096 tokens. However, you requested 5000 (829 in the messages)", 829),
        ("maximum context length is 4096 tokens and your request has 829 input tokens", 829),
        ("the input length exceeds the context length", None),
        ("exceeds the context length, n_prompt_tokens: " + "9" * 5000, 999_999_999),
    ],
)
def test_a_prompt_too_long_is_told_with_its_length_where_known(text, tokens):
    failure = failed(400, f'{{"error":"{text}"}}'.encode())

    assert (failure.kind, failure.n_prompt_tokens) == (FailureKind.TOO_LONG, tokens)


def test_an_openai_refusal_tells_the_length_from_its_own_field():
    body = b'{"error":{"message":"too long","type":"exceed_context_size_error","n_prompt_tokens":829,"n_ctx":256}}'

    assert (failed(400, body).kind, failed(400, body).n_prompt_tokens) == (FailureKind.TOO_LONG, 829)


def test_the_text_of_an_error_inside_an_error_is_shown():
    body = b'{"error":"{\\"error\\":{\\"code\\":400,\\"message\\":\\"no such schema\\"}}"}'

    assert failed(400, body).detail == "no such schema"


def test_a_foreign_text_is_kept_short():
    assert len(failed(500, b"x" * 100_000).detail) == 1000
    assert len(failed(500, b'{"error":"' + b"x" * 100_000 + b'"}').detail) == 1000


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"error":' + b"[" * 200_000, b"\xff\xfe", b'{"error":{"type":[]}}'])
def test_an_error_body_that_breaks_parsers_is_a_failure_like_others(body):
    assert failed(500, body).kind is FailureKind.SERVER_ERROR


@pytest.mark.parametrize(
    ("kind", "sent", "crashed"),
    [
        (FailureKind.UNREACHABLE, True, True),
        (FailureKind.UNREACHABLE, False, False),
        (FailureKind.TIMEOUT, True, False),
        (FailureKind.BAD_REPLY, True, False),
    ],
)
def test_only_a_connection_lost_after_sending_may_be_a_crash(kind, sent, crashed):
    failure = failed(0, broken=Broken(kind, "lost", sent=sent))

    assert (failure.kind, failure.detail, failure.crashed, failure.began) == (kind, "lost", crashed, False)


@pytest.mark.parametrize(
    ("header", "date", "wait_s"),
    [
        ("7", "", 7.0),
        ("0", "", 0.0),
        ("1.5", "", 1.5),
        ("1e9", "", 300.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2015 08:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", 300.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "garbage", 0.0),
        ("-5", "", None),
        ("inf", "", None),
        ("nan", "", None),
        ("soon", "", None),
        ("Wed, 99 Oct 99999 07:28:00 GMT", "", None),
        ("", "", None),
    ],
)
def test_retry_after_is_seconds_or_a_moment_and_at_most_300_s(header, date, wait_s):
    assert retry_after_s(header, date) == wait_s


def test_an_overloaded_server_is_believed_when_to_come_back():
    assert failed(429, retry_after="7").retry_after_s == 7.0
    assert failed(503).retry_after_s is None
