"""Broker: the address of a Redis or RabbitMQ, and the Celery application, queues and events that go through it."""

from __future__ import annotations

import copy
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from celery import Celery
from celery.events.event import event_exchange
from kombu import Connection, Exchange, Queue

from arriero.config.broker import broker_url

DELIVER = "arriero.deliver"
"""The only task; its name never changes, because Celery logs the body of a task that it does not know."""

ANNOUNCEMENT = "arriero-worker"
"""The event by which workers announce themselves."""

EXCHANGE = Exchange("arriero", type="direct", durable=True)
"""One for ever, so that queues that come and go leave nothing behind; messages go through the default exchange."""

EXPIRES_S = 600.0
"""A queue that nobody uses is gone after this."""

TRANSIENT = 1
CONNECT_S, SOCKET_S, PUBLISH_S = 5.0, 30.0, 5.0

SETTINGS: Mapping[str, Any] = {
    "task_serializer": "json",
    "event_serializer": "json",
    "accept_content": ["json"],
    "result_backend": None,
    "task_ignore_result": True,
    "task_acks_late": False,
    "task_publish_retry": False,
    "task_default_delivery_mode": TRANSIENT,
    "task_create_missing_queues": False,
    "task_default_queue": "arriero.none",
    "task_default_exchange": EXCHANGE.name,
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_channel_error_retry": True,
    "broker_connection_timeout": CONNECT_S,
    "broker_heartbeat": 10,
    "broker_pool_limit": 2,
    "worker_prefetch_multiplier": 0,
    "worker_enable_prefetch_count_reduction": False,
    "worker_detect_quorum_queues": False,
    "worker_disable_rate_limits": True,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "worker_send_task_events": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
}
"""Nothing is acknowledged, kept or retried by Celery: the link does that (decision 12)."""

REDIS_OPTIONS = {
    "socket_timeout": SOCKET_S,
    "socket_connect_timeout": CONNECT_S,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "priority_steps": [0],
}
AMQP_OPTIONS = {"confirm_publish": True, "read_timeout": SOCKET_S, "write_timeout": PUBLISH_S}


def application(url: str) -> Celery:
    """A Celery application that speaks to this broker; TLS is verified, by ``?ssl_ca_certs=FILE`` or the system.

    Args:
        url: ``redis://``, ``rediss://``, ``amqp://`` or ``amqps://``.

    Raises:
        ConfigError: If the address is none of those, or would not verify TLS.
    """
    parts = urlsplit(broker_url(url))
    authority = dict(parse_qsl(parts.query)).get("ssl_ca_certs")
    app = Celery("arriero", broker=urlunsplit(parts._replace(query="")), set_as_current=False, fixups=[])
    app.conf.update(SETTINGS)
    redis = parts.scheme.startswith("redis")
    app.conf.broker_transport_options = dict(REDIS_OPTIONS if redis else AMQP_OPTIONS)
    if parts.scheme in ("rediss", "amqps"):
        app.conf.broker_use_ssl = _verified(authority, redis=redis)
    return app


def _verified(authority: str | None, *, redis: bool) -> dict[str, Any]:
    """What makes kombu verify certificate and name: by default it does not, in either dialect."""
    if redis:
        known = {"ssl_ca_certs": authority} if authority else {}
        return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, **known}
    known = {"ca_certs": authority} if authority else {}
    return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None, **known}


def queue_named(name: str) -> Queue:
    """A queue of ours: durable, because RabbitMQ 4 refuses others that are shared; its messages are transient."""
    return Queue(name, EXCHANGE, routing_key=name, durable=True, auto_delete=False, expires=EXPIRES_S, no_ack=True)


def announcements(name: str, connection: Connection) -> Queue:
    """Where one listener hears what workers announce."""
    exchange = copy.copy(event_exchange)
    if connection.transport.driver_type == "redis":
        exchange.type = "fanout"  # as Celery itself declares it there
    return Queue(
        f"celeryev.{name}",
        exchange,
        routing_key=ANNOUNCEMENT.replace("-", "."),
        durable=False,
        auto_delete=True,
        exclusive=True,
        no_ack=True,
    )
