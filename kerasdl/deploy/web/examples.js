// Examples as the model takes them. The arithmetic is that of kerasdl.data.images and kerasdl.data.columns, in float32
// where theirs is, so that the answers are those of `kerasdl predict`.

const float = Math.fround;
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i; // as tables have it: JavaScript reads 0x1F, too
const TRUTHS = {True: 1, TRUE: 1, true: 1, False: 0, FALSE: 0, false: 0};

/** Return the pixels of an image file over white, turned as its EXIF says: {values (height * width * 3), ...}. */
export async function readImage(file) {
  const head = new DataView(await file.slice(0, 26).arrayBuffer());
  if (head.byteLength > 25 && head.getUint32(0) === 0x89504e47 && head.getUint8(24) === 16)
    throw new Error("The image has colours of 16 bits, of which a browser reads 8. Convert it first.");
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {imageOrientation: "from-image"});
  } catch {
    throw new Error("The file does not decode as an image.");
  }
  const {width, height} = bitmap;
  const canvas = Object.assign(document.createElement("canvas"), {width, height});
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return overWhite(context.getImageData(0, 0, width, height).data, height, width);
}

function overWhite(rgba, height, width) {
  const values = new Uint8Array(height * width * 3);
  let clear = false, seen = false;
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    const alpha = rgba[from + 3];
    clear ||= alpha < 255;
    for (let channel = 0; channel < 3; channel++) {
      const value = Math.round((rgba[from + channel] * alpha + 255 * (255 - alpha)) / 255);
      seen ||= value < 255;
      values[to++] = value;
    }
  }
  if (clear && !seen)
    throw new Error("The image is white on a transparent ground, and nothing is seen on white. Lay it over a ground.");
  return {values, height, width, channels: 3};
}

/** Return what TensorFlow's rgb_to_grayscale makes of colours. */
export function grey({values, height, width}) {
  const found = new Uint8Array(height * width), unit = float(1 / 255), shares = [0.2989, 0.587, 0.114].map(float);
  for (let place = 0; place < found.length; place++) {
    let sum = 0;
    for (let channel = 0; channel < 3; channel++)
      sum = float(sum + float(float(values[3 * place + channel] * unit) * shares[channel]));
    found[place] = Math.trunc(float(sum * 255.5));
  }
  return {values: found, height, width, channels: 1};
}

/** Return the value at x >= 0 of a polynomial, its highest power first. */
const polynomial = (x, ...factors) => factors.reduce((sum, factor) => float(float(sum * x) + factor));

const KERNELS = {
  bilinear: {radius: 1, at: (x) => Math.max(0, float(1 - x))},
  bicubic: {radius: 2, at: (x) => x >= 2 ? 0 : x >= 1 ? polynomial(x, -0.5, 2.5, -4, 2) : polynomial(x, 1.5, -2.5, 0, 1)},
};

/**
 * Return for each of `size` new places the first old one and the weights from there on: antialiased if it shrinks. Each
 * step is rounded to float32, in TensorFlow's order: then halves, which are rounded later, are the same halves.
 */
function spans(held, size, kernel) {
  const step = float(1 / float(size / held)), stretch = Math.max(step, 1), narrow = float(1 / stretch);
  const reach = float(kernel.radius * stretch), found = [];
  for (let place = 0; place < size; place++) {
    const centre = float((place + 0.5) * step), weights = [];
    const start = Math.max(0, Math.ceil(float(float(centre - reach) - 0.5)));
    const end = Math.min(held - 1, Math.floor(float(float(centre + reach) - 0.5)));
    for (let old = start; old <= end; old++)
      weights.push(kernel.at(float(Math.abs(float(old + 0.5 - centre)) * narrow)));
    const share = float(1 / weights.reduce((one, other) => float(one + other), 0));
    found.push({start, weights: weights.map((weight) => float(weight * share))});
  }
  return found;
}

/** Return an image with another height, or another width, in float32. */
function along(image, size, vertical, kernel) {
  const {values, height, width, channels} = image;
  const shape = vertical ? {height: size, width} : {height, width: size};
  const found = new Float32Array(shape.height * shape.width * channels);
  const jump = vertical ? width * channels : channels, across = vertical ? width * channels : channels;
  spans(vertical ? height : width, size, kernel).forEach(({start, weights}, place) => {
    for (let other = 0; other < (vertical ? 1 : height); other++) {
      const from = other * width * channels + start * jump, to = other * shape.width * channels + place * jump;
      for (let inside = 0; inside < across; inside++) {
        let sum = 0;
        for (let tap = 0; tap < weights.length; tap++)
          sum = float(sum + float(weights[tap] * values[from + tap * jump + inside]));
        found[to + inside] = sum;
      }
    }
  });
  return {values: found, ...shape, channels};
}

/** Return an image with values rounded to whole numbers in 0..255, halves to the even one. */
function whole(image) {
  const values = Uint8Array.from(image.values, (value) => {
    const low = Math.floor(value), rest = value - low;
    return Math.min(255, Math.max(0, rest > 0.5 || (rest === 0.5 && low % 2) ? low + 1 : low));
  });
  return {...image, values};
}

/** Return an image of the size (rows, columns), fitted as kerasdl.data.images.Fit says. */
export function resized(image, rows, columns, {crop = null, interpolation = "bilinear"} = {}) {
  const kernel = KERNELS[interpolation];
  if (crop === null && interpolation === "bilinear")
    return whole(along(along(image, rows, true, kernel), columns, false, kernel));
  let [high, wide] = [rows, columns];
  if (crop !== null) {
    const {height, width} = image, inner = Math.trunc(rows / crop), outer = Math.trunc(columns / crop);
    [high, wide] = height * columns <= width * rows
      ? [inner, Math.max(columns, Math.floor(inner * width / height))]
      : [Math.max(rows, Math.floor(outer * height / width)), outer];
  }
  const full = whole(along(whole(along(image, wide, false, kernel)), high, true, kernel));
  return crop === null ? full : cut(full, even((high - rows) / 2), even((wide - columns) / 2), rows, columns);
}

function even(value) {
  const low = Math.floor(value);
  return value - low > 0.5 || (value - low === 0.5 && low % 2) ? low + 1 : low;
}

/** Return the part of an image that begins at (top, left); what lies outside of it is 0. */
function cut({values, height, width, channels}, top, left, rows, columns) {
  const found = new Uint8Array(rows * columns * channels);
  for (let row = Math.max(0, -top); row < Math.min(rows, height - top); row++)
    for (let column = Math.max(0, -left); column < Math.min(columns, width - left); column++)
      for (let channel = 0; channel < channels; channel++)
        found[(row * columns + column) * channels + channel] =
          values[((row + top) * width + column + left) * channels + channel];
  return {values: found, height: rows, width: columns, channels};
}

/** Return an image of any size as an example of the model. */
export function ofImage(image, {shape: [rows, columns, channels], fit}) {
  const coloured = channels === 1 ? grey(image) : image;
  if (image.height === rows && image.width === columns && !(fit?.crop)) return coloured;
  return resized(coloured, rows, columns, fit ?? {});
}

/**
 * Return a drawing as an example: as large and at the place as what is in the training images, whose ink and ground it
 * gets. `ink` is {values 0..255, height, width}, 0 where nothing was drawn. null: nothing was drawn.
 */
export function ofDrawing(ink, {shape: [rows, columns], pad}) {
  let [top, bottom, left, right, mass, down, across] = [ink.height, -1, ink.width, -1, 0, 0, 0];
  for (let row = 0; row < ink.height; row++)
    for (let column = 0; column < ink.width; column++) {
      const value = ink.values[row * ink.width + column];
      if (!value) continue;
      [top, bottom] = [Math.min(top, row), Math.max(bottom, row)];
      [left, right] = [Math.min(left, column), Math.max(right, column)];
      mass += value, down += value * (row + 0.5), across += value * (column + 0.5);
    }
  if (!mass) return null;
  const scale = Math.max((bottom - top + 1) / (pad.side[0] * rows), (right - left + 1) / (pad.side[1] * columns));
  const [high, wide] = [Math.max(1, Math.round(scale * rows)), Math.max(1, Math.round(scale * columns))];
  const held = cut({...ink, channels: 1}, Math.round(down / mass - pad.centre[0] * high),
                   Math.round(across / mass - pad.centre[1] * wide), high, wide);
  const found = resized(held, rows, columns);
  found.values = found.values.map((value) => Math.round(pad.ground + value / 255 * (pad.ink - pad.ground)));
  return found;
}

/** Return a number as the tables of the training have it. */
export const written = (number, decimal) => String(number).replace(".", decimal);

function numberOf(text, decimal) {
  if (Object.hasOwn(TRUTHS, text)) return TRUTHS[text];
  if (decimal !== "." && text.includes(".")) return NaN;
  const plain = text.replace(decimal, ".");
  return NUMBER.test(plain) ? Number(plain) : NaN;
}

/** Return the category that a text means: a truth or a whole number may be written in other ways. */
function categoryOf(text, categories) {
  if (categories.includes(text)) return text;
  const known = (forms) => forms.find((form) => categories.includes(form)) ?? text;
  if (Object.hasOwn(TRUTHS, text)) return known(Object.keys(TRUTHS).filter((form) => TRUTHS[form] === TRUTHS[text]));
  const plain = text.replace(/,0$/, ".0");
  if (!NUMBER.test(plain)) return text;
  const whole = /[.,]/.test(text) && Number.isInteger(Number(plain)) ? String(Number(plain)) : text;
  return known([whole, `${whole}.0`, `${whole},0`]);
}

/**
 * Return a row, {column: text}, as the numbers of the model, as kerasdl.data.row_chunks does; `columns` are [name, null
 * or categories], and `missing` the texts of a missing value.
 */
export function ofRow(row, {columns, medians, offsets, decimal, missing}) {
  const found = [];
  for (const [name, categories] of columns) {
    if (!(name in row)) throw new Error(`There is no column '${name}'. It has: ${Object.keys(row).join(", ")}.`);
    const text = (row[name] ?? "").trim(), gap = missing.includes((row[name] ?? "").trimStart());
    if (categories === null) {
      const value = gap ? medians[name] : numberOf(text, decimal);
      if (value === undefined) throw new Error(`The column '${name}' is missing.`);
      if (!Number.isFinite(float(value))) throw new Error(`The column '${name}' holds numbers, and has '${text}'.`);
      found.push(value - (offsets[name] ?? 0));
      continue;
    }
    const place = categories.indexOf(gap ? "(missing)" : categoryOf(text, categories));
    if (place < 0) throw new Error(gap ? `The column '${name}' is missing.` :
      `The column '${name}' has a value '${text}' that the training data has not. Known: ${categories.join(", ")}.`);
    categories.forEach((_, index) => found.push(index === place ? 1 : 0));
  }
  return Float32Array.from(found);
}

/**
 * Return the rows of CSV text with a header as {column: text}. A quote that does not begin a field is a plain sign. As
 * for `kerasdl predict`, spaces before a field are no fields where a space separates them.
 */
export function readCsv(text, separator = ",") {
  const lines = [[""]];
  let quoted = false;
  for (let place = 0; place < text.length; place++) {
    const sign = text[place], line = lines.at(-1);
    if (quoted && sign === '"' && text[place + 1] === '"') line[line.length - 1] += text[++place];
    else if (quoted && sign === '"') quoted = false;
    else if (sign === '"' && !line.at(-1).trim()) [quoted, line[line.length - 1]] = [true, ""];
    else if (!quoted && sign === " " && separator === " " && " \n".includes(text[place - 1] ?? "")) continue;
    else if (!quoted && sign === separator) line.push("");
    else if (!quoted && sign === "\n") lines.push([""]);
    else if (quoted || sign !== "\r") line[line.length - 1] += sign;
  }
  const [head, ...rows] = lines.filter((line) => line.length > 1 || line[0].trim() !== "");
  return rows.map((row, place) => {
    if (row.length > head.length)
      throw new Error(`Row ${place + 1} has ${row.length} fields, and the header ${head.length}.`);
    return Object.fromEntries(head.map((name, index) => [name.trim(), row[index] ?? ""]));
  });
}

/**
 * Return an example of nested lists, flat: a row of numbers, or a series, whose `shape` may have null for any length. A
 * series that is shorter than the shape says, or ends with steps of null, ends with NaN.
 */
export function ofJson(text, {shape, fill}) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("This is not JSON.");
  }
  const series = shape.length > 1, width = shape.at(-1), steps = series ? value : [value];
  const most = series ? shape[0] ?? Infinity : 1;
  if (!Array.isArray(steps) || !steps.length || steps.length > most ||
      steps.some((step) => !Array.isArray(step) || step.length !== width))
    throw new Error(`Lists of the shape [${shape.map((side) => side ?? "any").join(", ")}] were expected.`);
  const end = 1 + steps.findLastIndex((step) => step.some((number) => number !== null));
  const numbers = steps.slice(0, end).flat();
  const wrong = numbers.find((number) => typeof number !== "number" || !Number.isFinite(float(number)));
  if (!numbers.length || numbers.includes(null))
    throw new Error("A number is missing" + (series ? ", and only steps at the end may be null." : ".") +
      (fill ? " kerasdl predict fills it as the training did; this page does not." : ""));
  if (wrong !== undefined) throw new Error(`Numbers of float32 were expected. Received: ${JSON.stringify(wrong)}`);
  const found = new Float32Array(Number.isFinite(most) ? most * width : steps.length * width).fill(NaN);
  found.set(numbers);
  return {values: found, shape: series ? [found.length / width, width] : shape};
}
