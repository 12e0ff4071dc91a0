// One bundle for the page and one for each of the editor's workers. Usage: node build.mjs [OUTPUT_FOLDER]
import { build } from "esbuild";

const outdir = process.argv[2] ?? new URL("../assets", import.meta.url).pathname;

await build({
  entryPoints: {
    graphiql: "page.jsx",
    "editor.worker": "monaco-editor/esm/vs/editor/editor.worker.js",
    "json.worker": "monaco-editor/esm/vs/language/json/json.worker.js",
    "graphql.worker": "monaco-graphql/esm/graphql.worker.js",
  },
  outdir,
  bundle: true,
  minify: true,
  format: "esm",
  splitting: false,
  jsx: "automatic",
  target: "es2022",
  define: { "process.env.NODE_ENV": '"production"' },
  loader: { ".ttf": "file", ".woff2": "file" },
  assetNames: "[name]-[hash]",
  legalComments: "none",
  logLevel: "warning",
});
