// Lines on a canvas, and the image of 28 by 28 pixels that they make.

const SIDE = 280;
const MIDDLE = SIDE / 2;
const LINE_WIDTH = 22;
const IMAGE_SIDE = 28;
// Digits of MNIST fit into a box of this side.
const BOX_SIDE = 20;

/** Lines of one pen; coordinates are pixels of the canvas, 280 by 280. */
export class Drawing {
  constructor(canvas) {
    canvas.width = SIDE;
    canvas.height = SIDE;
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    // The lines alone, without the mark of the pen.
    this.ink = document.createElement("canvas");
    this.ink.width = SIDE;
    this.ink.height = SIDE;
    this.inkContext = this.ink.getContext("2d", { willReadFrequently: true });
    this.pen = [MIDDLE, MIDDLE / 2];
    this.isDown = false;
    for (const name of ["focus", "blur"]) {
      canvas.addEventListener(name, () => this.show());
    }
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => this.show());
  }

  /** Returns where a pointer is. */
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * SIDE) / box.width,
      ((event.clientY - box.top) * SIDE) / box.height,
    ];
  }

  /** Returns where the pen is, in words. */
  penText() {
    const [x, y] = this.pen.map((each) => Math.round((each / SIDE) * IMAGE_SIDE));
    return `column ${x}, row ${y}`;
  }

  /** Puts the pen down at a place. */
  begin(x, y) {
    this.pen = [x, y];
    this.isDown = true;
    this.drawTo(x, y);
  }

  /** Moves the pen, which leaves a line if it is down. */
  drawTo(x, y) {
    const [fromX, fromY] = this.pen;
    this.pen = [x, y].map((each) => Math.min(SIDE, Math.max(0, each)));
    if (this.isDown) {
      const { inkContext } = this;
      inkContext.lineWidth = LINE_WIDTH;
      inkContext.lineCap = "round";
      inkContext.beginPath();
      inkContext.moveTo(fromX, fromY);
      inkContext.lineTo(...this.pen);
      inkContext.stroke();
    }
    this.show();
  }

  lift() {
    this.isDown = false;
    this.show();
  }

  clear() {
    this.isDown = false;
    this.inkContext.clearRect(0, 0, SIDE, SIDE);
    this.show();
  }

  /** Draws the ink in the color of text, and the pen if keys move it. */
  show() {
    const { context } = this;
    const color = getComputedStyle(this.canvas).color;
    context.clearRect(0, 0, SIDE, SIDE);
    context.drawImage(this.ink, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = color;
    context.fillRect(0, 0, SIDE, SIDE);
    context.globalCompositeOperation = "source-over";
    if (this.canvas.matches(":focus-visible")) {
      context.beginPath();
      context.arc(...this.pen, LINE_WIDTH / 2, 0, 2 * Math.PI);
      context.strokeStyle = color;
      context.lineWidth = this.isDown ? 5 : 2;
      context.stroke();
    }
  }

  /**
   * Returns the drawing as MNIST has its digits: 784 numbers from 0 to 255, in
   * a box of 20 by 20, whose center of mass is that of the image.
   *
   * The format: https://yann.lecun.org/exdb/mnist/index.html.
   *
   * @return null if nothing is drawn.
   */
  pixels() {
    const box = this.boundingBox();
    if (!box) {
      return null;
    }
    const scale = BOX_SIDE / Math.max(box.width, box.height);
    const place = [
      (IMAGE_SIDE - box.width * scale) / 2,
      (IMAGE_SIDE - box.height * scale) / 2,
    ];
    const [x, y] = centerOfMass(this.scaled(box, scale, ...place));
    const center = (IMAGE_SIDE - 1) / 2;
    return this.scaled(
      box,
      scale,
      place[0] + Math.round(center - x),
      place[1] + Math.round(center - y),
    );
  }

  /** Returns the alphas of the ink in a box, scaled to a place of the image. */
  scaled(box, scale, x, y) {
    const image = document.createElement("canvas");
    image.width = IMAGE_SIDE;
    image.height = IMAGE_SIDE;
    const context = image.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(
      this.ink,
      box.left,
      box.top,
      box.width,
      box.height,
      x,
      y,
      box.width * scale,
      box.height * scale,
    );
    return alphas(context, IMAGE_SIDE);
  }

  boundingBox() {
    const found = alphas(this.inkContext, SIDE);
    let [left, top, right, bottom] = [SIDE, SIDE, -1, -1];
    found.forEach((alpha, index) => {
      if (alpha) {
        const x = index % SIDE;
        const y = Math.floor(index / SIDE);
        left = Math.min(left, x);
        right = Math.max(right, x);
        top = Math.min(top, y);
        bottom = Math.max(bottom, y);
      }
    });
    return right < 0
      ? null
      : { left, top, width: right - left + 1, height: bottom - top + 1 };
  }
}

function alphas(context, side) {
  const { data } = context.getImageData(0, 0, side, side);
  return Array.from({ length: side * side }, (_, index) => data[4 * index + 3]);
}

function centerOfMass(pixels) {
  let [sum, sumX, sumY] = [0, 0, 0];
  pixels.forEach((pixel, index) => {
    sum += pixel;
    sumX += pixel * (index % IMAGE_SIDE);
    sumY += pixel * Math.floor(index / IMAGE_SIDE);
  });
  return [sumX / sum, sumY / sum];
}
