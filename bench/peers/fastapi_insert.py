"""FastAPI and async SQLAlchemy: validates a filing, inserts one row, commits and responds."""

import os
import uuid
from datetime import date
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field
from sqlalchemy import JSON, Boolean, Date, Integer, String
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The one table."""


class Filing(Base):
    """A filing to reopen."""

    __tablename__ = "filings"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    enterprise_id: Mapped[str] = mapped_column(String(64))
    reopen_on: Mapped[date] = mapped_column(Date)
    headcount: Mapped[int] = mapped_column(Integer)
    out_of_province: Mapped[int] = mapped_column(Integer)
    measures: Mapped[list] = mapped_column(JSON)
    pledge: Mapped[bool] = mapped_column(Boolean)


class FilingIn(BaseModel):
    """The request."""

    enterprise_id: str = Field(min_length=1, max_length=64)
    reopen_on: date
    headcount: int = Field(ge=0)
    out_of_province: int = Field(ge=0)
    measures: list[str]
    pledge: bool


class FilingOut(BaseModel):
    """The response."""

    filing_id: str
    enterprise_id: str


app = FastAPI()
engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=20, max_overflow=0)
sessions = async_sessionmaker(engine, expire_on_commit=False)


async def session_of_a_request():
    """Yield the session of a request."""
    async with sessions() as session:
        yield session


@app.post("/v1/filings", status_code=201)
async def file(
    body: FilingIn, session: Annotated[AsyncSession, Depends(session_of_a_request)]
) -> FilingOut:
    """Insert one row."""
    filing = Filing(id=str(uuid.uuid4()), **body.model_dump())
    session.add(filing)
    await session.commit()
    return FilingOut(filing_id=filing.id, enterprise_id=filing.enterprise_id)
