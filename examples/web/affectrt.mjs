// affectrt in a browser or in Node: a few lines over the C interface (affectrt.h), as the pattern for
// pages of your own. All runs here; no text leaves the page.
import createModule from './affectrt_web.mjs';

const POINTER_BYTES = 4;
const TEXT_BYTES = 16; // affectrt_text: data, size, pair, pair_size

export class Model {
  #wasm;
  #image; // of the model file, in the module's memory
  #handle;

  /** `bytes`: an ArrayBuffer or Uint8Array with a `.affect` file. Throws an Error that says why. */
  static async load(bytes, moduleOptions = {}) {
    const wasm = await createModule(moduleOptions);
    const file = new Uint8Array(bytes);
    const image = wasm._malloc(file.length + 64);
    const out = wasm._malloc(POINTER_BYTES);
    if (image === 0 || out === 0) throw new Error(`not enough memory for ${file.length} bytes`);
    const address = Math.ceil(image / 64) * 64; // elsewhere the weights would be copied
    wasm.HEAPU8.set(file, address);
    const status = wasm._affectrt_model_load_memory(address, file.length, 0, 0, 0, out);
    const model = new Model();
    model.#wasm = wasm;
    model.#image = image;
    model.#handle = wasm.HEAPU32[out / 4];
    wasm._free(out);
    if (status !== 0) {
      wasm._free(image);
      throw lastError(wasm);
    }
    return model;
  }

  /** Gives the memory back; the model must not be used any more. */
  destroy() {
    this.#wasm._affectrt_model_destroy(this.#handle);
    this.#wasm._free(this.#image);
  }

  /** What the model says of each text: [{text, emotions: [{label, score}], decided, unsure}]. */
  analyse(texts) {
    const wasm = this.#wasm;
    const array = wasm._malloc(texts.length * TEXT_BYTES + POINTER_BYTES);
    const out = array + texts.length * TEXT_BYTES;
    const strings = texts.map((text) => {
      const size = wasm.lengthBytesUTF8(text);
      const data = wasm._malloc(size + 1);
      wasm.stringToUTF8(text, data, size + 1);
      return { data, size };
    });
    strings.forEach(({ data, size }, i) => {
      wasm.HEAPU32.set([data, size, 0, 0], (array + i * TEXT_BYTES) / 4);
    });
    const status = wasm._affectrt_model_analyse_json(this.#handle, array, texts.length, 0, out);
    const json = wasm.HEAPU32[out / 4];
    const answer = status === 0 ? JSON.parse(wasm.UTF8ToString(json)) : lastError(wasm);
    if (status === 0) wasm._affectrt_json_destroy(json);
    for (const { data } of strings) wasm._free(data);
    wasm._free(array);
    if (status !== 0) throw answer;
    return answer;
  }
}

function lastError(wasm) {
  return new Error(wasm.UTF8ToString(wasm._affectrt_last_error()));
}
