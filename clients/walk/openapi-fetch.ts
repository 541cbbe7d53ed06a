// Walk through all routes with openapi-fetch and the types of openapi-typescript: `… URL KEY`.

import createClient from "openapi-fetch";

import type { paths } from "../generated/openapi-fetch/schema.js";
import { key, url, walk } from "./steps.js";

const client = createClient<paths>({ baseUrl: url, headers: { "x-api-key": key } });

await walk(async (operation, parameters, body) => {
  const call = client.request as any; // the types need a literal method and path
  const { data, error, response } = await call(operation.method.toLowerCase(), operation.path, { params: parameters, body });
  return { response, body: data ?? error };
});
