"""What a job does now, in words."""

from core.jobs.queue import Job

STAGES = {
    "waiting": "Waiting for another run on this machine",
    "machine": "Waiting for a machine",
    "load": "Loading the model",
    "download": "Downloading",
    "convert": "Converting the model, once",
    "observe": "Collecting statistics of the calibration data",
    "gradients": "Computing gradients",
    "scan": "Measuring layer sensitivity",
    "compress": "Compressing",
    "answers": "Generating the teacher's answers",
    "train": "Training",
    "dense": "Computing the dense model's outputs, once per text",
    "perplexity": "Measuring perplexity",
    "requests": "Preparing the tasks",
    "prompts": "Writing the few-shot prompts",
    "tasks": "Scoring the tasks",
    "latency": "Measuring latency",
    "reply": "Answering",
    "keep": "Caching the model for later runs",
    "save": "Saving the model",
    "prove": "Verifying the export",
}


def progress_words(job: Job, left: str = "") -> str:
    """Return what an active job does, its detail, and the words on its remaining time; empty parts are omitted."""
    if job.state == "queued":
        return "Queued"
    doing = "Cancelling" if job.cancel else STAGES.get(job.stage, job.stage.capitalize() or "Starting")
    return " · ".join(part for part in (doing, "" if job.stage == "waiting" else job.detail, left) if part)
