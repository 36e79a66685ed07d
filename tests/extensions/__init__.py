"""Extensions from outside the project: each is one class and one registration."""
