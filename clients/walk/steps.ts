// Send the requests of steps.json with a generated client: shared by the clients in TypeScript. See steps.py.

import { readFileSync } from "node:fs";

export type Json = any;

export interface Operation {
  id: string;
  method: string;
  path: string;
  definition: Json;
}

export interface Parameters {
  path?: Json;
  query?: Json;
  header?: Json;
}

// A response, as the generated client returned it.
export interface Received {
  response: Response;
  body: Json;
}

export type Send = (operation: Operation, parameters: Parameters, body: Json) => Promise<Received>;

interface Step {
  does: string;
  request: string;
  path?: Json;
  query?: Json;
  headers?: Json;
  body?: Json;
  status: number;
  expect?: Record<string, Json>;
  save?: Record<string, string>;
}

export const [url, key] = process.argv.slice(2) as [string, string];
const folder = new URL("../../../", import.meta.url); // of clients/generated/compiled/walk
const read = (path: string): Json => JSON.parse(readFileSync(new URL(path, folder), "utf8"));

function operations(): Map<string, Operation> {
  const found = new Map<string, Operation>();
  for (const [path, methods] of Object.entries<Json>(read("generated/schema.json").paths)) {
    for (const [method, definition] of Object.entries<Json>(methods)) {
      const name = method.toUpperCase();
      found.set(`${name} ${path}`, { id: definition.operationId, method: name, path, definition });
    }
  }
  return found;
}

// Send each request of steps.json, and check its response. Exactly the operations of the schema must be requested.
export async function walk(send: Send): Promise<void> {
  const documented = operations();
  const steps = read("walk/steps.json") as Step[];
  const requested = new Set(steps.map((step) => step.request));
  const different = [...requested, ...documented.keys()].filter((name) => !requested.has(name) || !documented.has(name));
  if (different.length) fail(`either steps.json or the schema does not have ${different.join(", ")}`);
  const saved: Record<string, Json> = {};
  const fill = (values: Record<string, Json> = {}): Record<string, Json> =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, filled(value, saved)]));
  for (const step of steps) {
    const operation = documented.get(step.request)!;
    const parameters: Parameters = {};
    if (step.path) parameters.path = fill(step.path);
    if (step.query) parameters.query = fill(step.query);
    if (step.headers) parameters.header = fill(step.headers);
    const received = await send(operation, parameters, step.body);
    const expected = { status: step.status, ...fill(step.expect) };
    const found: Record<string, Json> = { status: received.response.status };
    for (const path of Object.keys(step.expect ?? {})) found[path] = valueAt(received, path);
    if (JSON.stringify(found) !== JSON.stringify(expected)) {
      const body = JSON.stringify(received.body)?.slice(0, 2000);
      fail(`${step.does} (${step.request}): expected ${JSON.stringify(expected)}, got ${JSON.stringify(found)} in ${body}`);
    }
    for (const [name, path] of Object.entries(step.save ?? {})) saved[name] = valueAt(received, path);
  }
  console.log(`${steps.length} requests, ${requested.size} operations`);
}

function filled(value: Json, saved: Record<string, Json>): Json {
  return typeof value === "string" && value.startsWith("$") ? saved[value.slice(1)] : value;
}

function valueAt(received: Received, path: string): Json {
  if (path.startsWith("headers.")) return received.response.headers.get(path.slice("headers.".length));
  return path.split(".").reduce((value, part) => value?.[part], received.body) ?? null;
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}
