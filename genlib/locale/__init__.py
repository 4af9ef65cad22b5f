"""What readers see, in their language: English is the text in the code, every other language is a catalogue beside this file."""


class Message(str):
    """An English text to be translated, with a context where the text alone would be ambiguous."""

    context: str | None = None


def N_(text: str, context: str | None = None) -> Message:
    """Mark a text that is kept as data, to be translated when it is shown. A single word says in which context it stands."""
    message = Message(text)
    message.context = context
    return message
