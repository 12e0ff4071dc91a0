// node lint.mjs SCHEMA: the messages of GraphQL-ESLint's recommended rules for schemas, as JSON.
import { readFileSync } from "node:fs";
import plugin from "@graphql-eslint/eslint-plugin";
import { ESLint } from "eslint";

const text = readFileSync(process.argv[2], "utf8");
const eslint = new ESLint({
  overrideConfigFile: true,
  overrideConfig: {
    files: ["**/*.graphql"],
    languageOptions: { parser: plugin.parser, parserOptions: { graphQLConfig: { schema: process.argv[2] } } },
    plugins: { "@graphql-eslint": plugin },
    rules: plugin.configs["flat/schema-recommended"].rules,
  },
});
const [result] = await eslint.lintText(text, { filePath: "schema.graphql" });
console.log(JSON.stringify(result.messages.map(({ ruleId, message }) => [ruleId.split("/")[1], message])));
