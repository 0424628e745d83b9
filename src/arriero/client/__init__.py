"""The only door for every surface: run, resume, status, results, errors, retry, verify, fleet, doctor."""

from arriero.client.carry import run_batch
from arriero.client.control import Control
from arriero.client.failed import Errors, errors, failed_rows, retried, retry
from arriero.client.instances import FleetView, fleet_ps
from arriero.client.machine import Doctor, doctor
from arriero.client.promises import Verification, verify
from arriero.client.reading import results, resume_settings, status
from arriero.client.rehearsal import DryRun, dry_run
from arriero.client.summary import Summary
from arriero.client.worker import worker
from arriero.local.model import install as local_install
from arriero.monitor.snapshot import Snapshot

__all__ = [
    "Control",
    "Doctor",
    "DryRun",
    "Errors",
    "FleetView",
    "Snapshot",
    "Summary",
    "Verification",
    "doctor",
    "dry_run",
    "errors",
    "failed_rows",
    "fleet_ps",
    "local_install",
    "results",
    "resume_settings",
    "retried",
    "retry",
    "run_batch",
    "status",
    "verify",
    "worker",
]
