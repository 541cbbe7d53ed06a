"""Peer: FastAPI + SQLAlchemy 2 (async) + asyncpg + pydantic, written as its tutorials write it."""
import hashlib, os
from datetime import datetime
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import BigInteger, String, func, insert, or_, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["URL"].replace("postgresql:", "postgresql+asyncpg:"), pool_size=10)
Session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase): ...


class Device(Base):
    __tablename__ = "device"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    device_name: Mapped[str] = mapped_column(String(255))
    device_mac: Mapped[str] = mapped_column(String(17))
    device_type: Mapped[str] = mapped_column(String(16))
    device_holder: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ApiKey(Base):
    __tablename__ = "apikey"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    digest: Mapped[str]
    revoked: Mapped[bool]


class DeviceIn(BaseModel):
    device_name: str
    device_mac: str
    device_type: str
    device_holder: str


class DeviceOut(DeviceIn):
    model_config = ConfigDict(from_attributes=True)
    id: int
    created_at: datetime
    updated_at: datetime


class Page(BaseModel):
    total: int
    data: list[DeviceOut]


async def db():
    async with Session() as s:
        yield s


async def auth(x_api_key: str = Header(), s=Depends(db)):
    digest = hashlib.sha256(x_api_key.encode()).hexdigest()
    if not await s.scalar(select(ApiKey.id).where(ApiKey.digest == digest, ApiKey.revoked.is_(False))):
        raise HTTPException(401)


app = FastAPI(dependencies=[Depends(auth)])


@app.get("/api/devices", response_model=Page)
async def devices(
    page: int = 1, size: int = 20, device_mac: str | None = None, device_type: str | None = None, search: str | None = None, s=Depends(db)
):
    found = select(Device)
    if device_mac:
        found = found.where(Device.device_mac == device_mac)
    if device_type:
        found = found.where(Device.device_type == device_type)
    if search:
        found = found.where(or_(Device.device_name.icontains(search), Device.device_mac.icontains(search)))
    total = await s.scalar(found.with_only_columns(func.count()))
    rows = (await s.scalars(found.order_by(Device.id).offset((page - 1) * size).limit(size))).all()
    return {"total": total, "data": rows}


@app.get("/api/device/{id}", response_model=DeviceOut)
async def device(id: int, s=Depends(db)):
    d = await s.get(Device, id)
    if not d:
        raise HTTPException(404)
    return d


@app.post("/api/devices", response_model=list[DeviceOut], status_code=201)
async def create(body: list[DeviceIn], s=Depends(db)):
    rows = (await s.scalars(insert(Device).returning(Device), [b.model_dump() for b in body])).all()
    await s.commit()
    return rows
