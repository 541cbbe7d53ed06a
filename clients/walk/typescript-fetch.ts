// Walk through all routes with the client typescript-fetch of openapi-generator: `… URL KEY`.

import * as sdk from "../generated/openapi-generator-typescript-fetch/index.js";
import { key, url, walk, type Json, type Operation } from "./steps.js";

const configuration = new sdk.Configuration({ basePath: url, apiKey: key });
const apis = Object.entries(sdk)
  .filter(([name]) => name.endsWith("Api"))
  .map(([, api]) => new (api as any)(configuration));

const toCamelCase = (name: string) =>
  name.toLowerCase().replace(/[-_](\w)/g, (_match, letter) => letter.toUpperCase());
const toSnakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

// The client has the fields in camelCase, and steps.json in snake_case.
function renamed(value: Json, rename: (name: string) => string): Json {
  if (Array.isArray(value)) return value.map((item) => renamed(item, rename));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [rename(name), renamed(inner, rename)]));
}

function nameOfBody(operation: Operation): string {
  const schema = operation.definition.requestBody.content["application/json"].schema;
  const name: string = (schema.items ?? schema).$ref.split("/").at(-1);
  return name[0]!.toLowerCase() + name.slice(1);
}

await walk(async (operation, { path, query, header }, body) => {
  const named = renamed({ ...path, ...query, ...header }, toCamelCase);
  if (body !== undefined) named[nameOfBody(operation)] = renamed(body, toCamelCase);
  const api = apis.find((each) => `${operation.id}Raw` in each);
  try {
    const received = await api[`${operation.id}Raw`](named);
    return { response: received.raw, body: renamed(await received.value(), toSnakeCase) };
  } catch (error) {
    if (!(error instanceof sdk.ResponseError)) throw error;
    return { response: error.response, body: await error.response.json().catch(() => null) };
  }
});
