"""What is learned from: sources, tasks, and the table of tasks."""

TASKS = {
    "mnist": "netwright.data.images",
    "fashion-mnist": "netwright.data.images",
    "cifar10": "netwright.data.images",
    "language": "netwright.data.language",
    "imdb": "netwright.data.reviews",
    "safety": "netwright.data.requests",
    "photographs": "netwright.data.photographs",
    "svg-quality": "netwright.svg.task",
    "synthetic": "netwright.data.synthetic",
    "synthetic-text": "netwright.data.synthetic",
}
"""Task name -> module with `Config` and `open(config) -> Task` (`data.tasks.Task`)."""
