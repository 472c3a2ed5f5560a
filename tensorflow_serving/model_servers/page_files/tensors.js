// Inputs and outputs of signatures, by what their metadata says.

import { sum } from "/page/rates.js";

const TYPES = {
  DT_HALF: "float16",
  DT_FLOAT: "float32",
  DT_DOUBLE: "float64",
  DT_BFLOAT16: "bfloat16",
  DT_STRING: "string",
  DT_BOOL: "bool",
};
const FLOATS = ["DT_HALF", "DT_FLOAT", "DT_DOUBLE", "DT_BFLOAT16"];
const ZEROS = "zeros";
const MANY = 64;
const IMAGE_SIZE = 28;

/** Returns the sizes of a tensor, -1 where any will do; null if all are open. */
function sizes(info) {
  const shape = info.tensor_shape ?? {};
  if (shape.unknown_rank) {
    return null;
  }
  return (shape.dim ?? []).map((each) => Number(each.size));
}

/** Returns the type and shape of a tensor, such as: float32 [?, 784]. */
export function describe(info) {
  const type =
    TYPES[info.dtype] ?? String(info.dtype).replace("DT_", "").toLowerCase();
  const found = sizes(info);
  const shape = found
    ? `[${found.map((size) => (size < 0 ? "?" : size)).join(", ")}]`
    : "of any shape";
  return `${type} ${shape}`;
}

/** Returns a first value for an input, as a text; see valueText(). */
export function example(info) {
  const shape = exampleShape(info);
  const number = shape.reduce((product, size) => product * size, 1);
  return number > MANY ? ZEROS : JSON.stringify(filled(info.dtype, shape));
}

/**
 * Returns the JSON of an input, from what somebody has typed.
 *
 * It stays the text that it is: numbers may be larger than JavaScript's.
 */
export function valueText(info, typed) {
  const text = typed.trim();
  if (text === ZEROS) {
    return JSON.stringify(filled(info.dtype, exampleShape(info)));
  }
  // Numbers that JSON does not know, but the server does.
  JSON.parse(text.replace(/-?\b(NaN|Infinity)\b/g, "0"));
  return text;
}

/** Returns a shape that fits; of any shape, one that can be in a batch. */
function exampleShape(info) {
  return (sizes(info) ?? [1]).map((size) => (size < 0 ? 1 : size));
}

function filled(type, shape) {
  if (!shape.length) {
    return { DT_STRING: "", DT_BOOL: false }[type] ?? 0;
  }
  const [first, ...rest] = shape;
  return Array.from({ length: first }, () => filled(type, rest));
}

/**
 * Returns the one input of a signature if it is for images like MNIST's.
 *
 * @return Its name, its type and a function that gives the values of an image,
 *   784 of them, the shape of the input; null if it is for something else.
 */
export function imageInput(signature) {
  const inputs = Object.entries(signature.inputs ?? {});
  if (inputs.length !== 1) {
    return null;
  }
  const [[name, info]] = inputs;
  const isFloat = FLOATS.includes(info.dtype);
  if (!isFloat && info.dtype !== "DT_UINT8") {
    return null;
  }
  const [rows, ...rest] = sizes(info) ?? [];
  const shapes = {
    784: (pixels) => [pixels],
    "28,28": (pixels) => [inRows(pixels)],
    "28,28,1": (pixels) => [inRows(pixels).map((row) => row.map((x) => [x]))],
  };
  const shaped = shapes[rest.join()];
  if (!shaped || (rows !== -1 && rows !== 1)) {
    return null;
  }
  return { name, isFloat, shaped };
}

function inRows(pixels) {
  return Array.from({ length: IMAGE_SIZE }, (_, row) =>
    pixels.slice(row * IMAGE_SIZE, (row + 1) * IMAGE_SIZE),
  );
}

/**
 * Returns what an answer says of the classes of one image.
 *
 * @param outputs The outputs of an answer with columns: an array if there is
 *   one output, otherwise arrays by their names.
 * @return The probability of each class, and whether they were made from other
 *   numbers; null if there are none.
 */
export function distribution(outputs) {
  const arrays = Array.isArray(outputs) ? [outputs] : Object.values(outputs);
  for (const array of arrays) {
    const row = Array.isArray(array) ? array[0] : null;
    if (Array.isArray(row) && row.length > 1 && row.every(isNumber)) {
      return probabilities(row);
    }
  }
  return null;
}

function isNumber(value) {
  return typeof value === "number";
}

function probabilities(row) {
  const isDone =
    row.every((value) => value >= 0) && Math.abs(sum(row) - 1) < 0.01;
  if (isDone) {
    return { shares: row, isSoftmax: false };
  }
  const largest = Math.max(...row);
  const powers = row.map((value) => Math.exp(value - largest));
  const total = sum(powers);
  return { shares: powers.map((value) => value / total), isSoftmax: true };
}
