"""A web service on asyncio: POST /classify {"texts": [...]} gives the three likeliest labels of each text.

pip install 'medclf[cpu]' fastapi uvicorn
MEDCLF_BUNDLE=bundle uvicorn service:app --workers 2
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, Field

from medclf.errors import InputError
from medclf.runtime import Classifier
from medclf.runtime.asynchronous import AsyncClassifier


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load in the worker process, after its fork; close when the service ends."""
    async with AsyncClassifier(Classifier.load(os.environ["MEDCLF_BUNDLE"])) as classifier:
        app.state.classifier = classifier
        yield


class Texts(BaseModel):
    """What a client sends."""

    texts: list[str] = Field(min_length=1, max_length=64)


app = FastAPI(lifespan=lifespan)


@app.post("/classify")
async def classify(request: Request, body: Texts) -> list[list[tuple[str, float]]]:
    """Answer; while the model runs, the event loop serves others."""
    try:
        answers = await request.app.state.classifier.classify(body.texts)
    except InputError as error:
        raise HTTPException(422, str(error)) from None  # names places and reasons, never a text
    return answers.top(3)
