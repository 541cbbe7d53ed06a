// Write a Postman collection of the schema: `node postman.mjs SCHEMA COLLECTION`.
//
// Each request has the required parameters and the first example of its body. A test expects one of its documented
// statuses of success. Optional parameters are disabled: in Postman, select them to send them.

import { readFileSync, writeFileSync } from "node:fs";

import Converter from "openapi-to-postmanv2";

const OPTIONS = {
  folderStrategy: "Tags",
  parametersResolution: "Example",
  enableOptionalParameters: false,
};

const [schema, target] = process.argv.slice(2);
const input = { type: "string", data: readFileSync(schema, "utf8") };
const collection = await new Promise((resolve, reject) => {
  Converter.convertV2(input, OPTIONS, (error, result) => {
    if (error || !result.result) reject(error ?? new Error(result.reason));
    else resolve(result.output[0].data);
  });
});

const requests = (items) => items.flatMap((item) => (item.item ? requests(item.item) : [item]));
for (const item of requests(collection.item)) {
  const statuses = item.response.map((response) => response.code).filter((code) => code >= 200 && code < 300);
  const test = `pm.test("documented success", () => pm.expect(pm.response.code).to.be.oneOf(${JSON.stringify(statuses)}));`;
  item.event = [{ listen: "test", script: { type: "text/javascript", exec: [test] } }];
}
writeFileSync(target, JSON.stringify(collection, null, 2));
