"""Peer: FastAPI + asyncpg + orjson with hand-written SQL and no response model: Python's practical best case."""
import hashlib, os
import asyncpg, orjson
from contextlib import asynccontextmanager
from fastapi import FastAPI, Request, Response

pool = None


@asynccontextmanager
async def lifespan(app):
    global pool
    pool = await asyncpg.create_pool(os.environ["URL"], min_size=5, max_size=10)
    yield
    await pool.close()


app = FastAPI(lifespan=lifespan)
COLS = "id, device_name, device_mac, device_type, device_holder, created_at, updated_at"


async def authed(c, request):
    digest = hashlib.sha256(request.headers.get("x-api-key", "").encode()).hexdigest()
    return await c.fetchval("select id from apikey where digest=$1 and not revoked", digest)


def js(obj, status=200):
    return Response(orjson.dumps(obj), status, media_type="application/json")


CONDITIONS = {
    "device_mac": "device_mac = ${n}",
    "device_type": "device_type = ${n}",
    "search": "(device_name ilike '%' || ${n} || '%' or device_mac ilike '%' || ${n} || '%')",
}


@app.get("/api/devices")
async def devices(request: Request, page: int = 1, size: int = 20):
    given = {name: request.query_params[name] for name in CONDITIONS if name in request.query_params}
    where = " and ".join(CONDITIONS[name].format(n=n) for n, name in enumerate(given, 1)) or "true"
    last = len(given)
    async with pool.acquire() as c:
        if not await authed(c, request):
            return js({}, 401)
        total = await c.fetchval(f"select count(*) from device where {where}", *given.values())
        rows = await c.fetch(
            f"select {COLS} from device where {where} order by id limit ${last + 1} offset ${last + 2}", *given.values(), size, (page - 1) * size)
    return js({"total": total, "data": [dict(r) for r in rows]})


@app.get("/api/device/{id}")
async def device(request: Request, id: int):
    async with pool.acquire() as c:
        if not await authed(c, request):
            return js({}, 401)
        row = await c.fetchrow(f"select {COLS} from device where id=$1", id)
    return js(dict(row)) if row else js({}, 404)


@app.post("/api/devices")
async def create(request: Request):
    body = orjson.loads(await request.body())
    async with pool.acquire() as c:
        if not await authed(c, request):
            return js({}, 401)
        rows = await c.fetch(
            f"insert into device (device_name, device_mac, device_type, device_holder) select * from unnest($1::text[], $2::text[], $3::text[], $4::text[]) returning {COLS}",
            *([b[k] for b in body] for k in ("device_name", "device_mac", "device_type", "device_holder")))
    return js([dict(r) for r in rows], 201)
