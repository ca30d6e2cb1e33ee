// node analyse.mjs MODEL.affect TEXT...: the answers as JSON, as `affectrt_model_analyse_json` gives them.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { Model } from './affectrt.mjs';

// What Debian's emscripten expects of Node, and ES modules do not have.
globalThis.require = createRequire(import.meta.url);
globalThis.__dirname = fileURLToPath(new URL('.', import.meta.url));

const [path, ...texts] = process.argv.slice(2);
if (texts.length === 0) {
  console.error('usage: node analyse.mjs MODEL.affect TEXT...');
  process.exit(2);
}
try {
  const wasmBinary = await readFile(new URL('affectrt_web.wasm', import.meta.url));
  const model = await Model.load(await readFile(path), { wasmBinary });
  console.log(JSON.stringify(model.analyse(texts)));
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
