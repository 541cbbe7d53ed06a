// Walk through all routes with the client of @hey-api/openapi-ts: `… URL KEY`.

import { client } from "../generated/hey-api/client.gen.js";
import * as sdk from "../generated/hey-api/sdk.gen.js";
import { key, url, walk } from "./steps.js";

client.setConfig({ baseUrl: url, auth: key });

await walk(async (operation, { path, query, header }, body) => {
  const call = (sdk as any)[operation.id];
  const { data, error, response } = await call({ path, query, headers: header, body });
  return { response, body: data ?? error };
});
