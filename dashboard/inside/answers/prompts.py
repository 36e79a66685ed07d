"""The prepared prompts, by the name that is in links."""

PROMPTS = {
    "A fact": "What is the capital of France?",
    "A sum": "Ann has 17 apples and buys 25 more. How many apples does she have now?",
    "A story": "Write the beginning of a story about a lighthouse keeper who finds a letter in a bottle.",
    "Code": "Write a Python function that returns the largest number in a list.",
    "A summary": (
        "Summarise this text in one sentence: Bees collect nectar from flowers and turn it into honey. On their way "
        "they carry pollen from flower to flower. Many fruits and vegetables grow only after such a visit."
    ),
    "A translation": "Translate this sentence into French: The book is on the table.",
}
FIRST = "A fact"
