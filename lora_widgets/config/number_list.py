"""Settings that are written as numbers separated by commas."""


def numbers_of(text: str) -> tuple[float, ...]:
    """Return the numbers of a text such as "4, 4, 8"; an empty text has none.

    Raises:
        ValueError: something between commas is no number.
    """
    return tuple(float(word) for word in text.split(",")) if text.strip() else ()
