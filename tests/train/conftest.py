"""Training tests without the progress bars and reports of transformers."""

import pytest


@pytest.fixture(autouse=True, scope="package")
def _quiet() -> None:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
