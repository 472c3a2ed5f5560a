// A field to draw a digit in, and what a model takes it for.

import { fillBar, makeBar } from "/page/charts.js";
import { Drawing } from "/page/drawing.js";
import { make, setText, show } from "/page/elements.js";
import { shareText } from "/page/rates.js";
import { distribution } from "/page/tensors.js";

const STEP = 10;
const LARGE_STEP = 30;
const MANY_CLASSES = 10;
const ARROWS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** Draws with a mouse, a finger or the arrow keys, and asks after each line. */
export class DigitPad {
  /**
   * @param image The input of the model; see imageInput().
   * @param send Sends the value of the input; returns the outputs, or null.
   */
  constructor(image, send) {
    this.image = image;
    this.send = send;
    this.number = 0;
    this.canvas = make("canvas", {
      tabindex: "0",
      role: "application",
      "aria-label": "Drawing area for a digit",
      "aria-describedby": "pad-help",
    });
    this.drawing = new Drawing(this.canvas);
    this.said = make("p", { class: "unseen", role: "status" });
    this.result = make("p", { class: "guess", role: "status" });
    this.note = make("p", { class: "hint" });
    this.bars = make("ul", {
      class: "bars classes",
      "aria-label": "How likely each class is",
    });
    this.element = make("div", { class: "pad" }, this.left(), this.right());
    this.listen();
    this.showNothing();
  }

  left() {
    this.clearButton = make("button", { type: "button" }, "Clear");
    this.scale = make(
      "select",
      { id: "pad-scale" },
      make("option", { value: "1" }, "0 to 1"),
      make("option", { value: "255" }, "0 to 255"),
    );
    this.scale.value = this.image.isFloat ? "1" : "255";
    return make(
      "div",
      {},
      make("div", { class: "paper" }, this.canvas),
      make(
        "p",
        { id: "pad-help", class: "hint" },
        "Draw a digit: with a mouse or a finger, or with the arrow keys; " +
          "Space puts the pen down and lifts it, Delete clears.",
      ),
      this.said,
      make(
        "div",
        { class: "buttons" },
        this.clearButton,
        make(
          "label",
          { class: "field", for: "pad-scale" },
          make("span", {}, "Pixels"),
          this.scale,
        ),
      ),
    );
  }

  right() {
    return make("div", {}, this.result, this.note, this.bars);
  }

  listen() {
    const { canvas, drawing } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && event.isPrimary) {
        event.preventDefault();
        canvas.focus({ preventScroll: true });
        canvas.setPointerCapture(event.pointerId);
        drawing.begin(...drawing.place(event));
      }
    });
    canvas.addEventListener("pointermove", (event) => {
      if (drawing.isDown && canvas.hasPointerCapture(event.pointerId)) {
        for (const each of event.getCoalescedEvents?.() ?? [event]) {
          drawing.drawTo(...drawing.place(each));
        }
      }
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => {
        if (canvas.hasPointerCapture(event.pointerId)) {
          this.lift();
        }
      });
    }
    canvas.addEventListener("keydown", (event) => this.press(event));
    canvas.addEventListener("blur", () => drawing.isDown && this.lift());
    this.clearButton.addEventListener("click", () => this.clear());
    this.scale.addEventListener("change", () => this.guess());
  }

  press(event) {
    const { drawing } = this;
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (event.key === " ") {
      if (drawing.isDown) {
        this.lift();
        setText(this.said, "Pen up");
      } else {
        drawing.begin(...drawing.pen);
        setText(this.said, `Pen down at ${drawing.penText()}`);
      }
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
    } else if (ARROWS[event.key]) {
      const [x, y] = ARROWS[event.key];
      const step = event.shiftKey ? LARGE_STEP : STEP;
      drawing.drawTo(drawing.pen[0] + x * step, drawing.pen[1] + y * step);
      setText(this.said, drawing.penText());
    } else {
      return;
    }
    event.preventDefault();
  }

  lift() {
    this.drawing.lift();
    this.guess();
  }

  clear() {
    this.drawing.clear();
    this.number += 1;
    this.showNothing();
    setText(this.said, "Cleared");
  }

  /** Asks the model; of several answers, that to the newest drawing counts. */
  async guess() {
    const pixels = this.drawing.pixels();
    if (!pixels) {
      return;
    }
    this.number += 1;
    const own = this.number;
    const factor = Number(this.scale.value);
    const values = pixels.map((pixel) =>
      factor === 1 ? Number((pixel / 255).toFixed(4)) : pixel,
    );
    const outputs = await this.send(this.image.shaped(values));
    if (own === this.number) {
      this.showOutputs(outputs);
    }
  }

  showNothing() {
    setText(this.result, "Nothing is drawn yet");
    setText(this.note, "");
    show(this.bars, false);
  }

  showOutputs(outputs) {
    const found = outputs && distribution(outputs);
    show(this.bars, Boolean(found));
    if (!found) {
      setText(this.result, outputs ? "No classes in the answer" : "No answer");
      setText(this.note, "The answer is below.");
      return;
    }
    const ranked = found.shares
      .map((share, index) => ({ share, index }))
      .sort((one, other) => other.share - one.share);
    const [best] = ranked;
    setText(
      this.result,
      `This is ${best.index} (${shareText(best.share)})`,
    );
    setText(this.note, found.isSoftmax ? "Softmax of the answer" : "");
    const shown =
      ranked.length <= MANY_CLASSES
        ? ranked.sort((one, other) => one.index - other.index)
        : ranked.slice(0, MANY_CLASSES);
    this.bars.replaceChildren(
      ...shown.map(({ share, index }) => {
        const row = makeBar();
        fillBar(row, {
          name: String(index),
          share,
          text: shareText(share),
          kind: index === best.index ? "best" : "",
        });
        return row;
      }),
    );
  }
}
