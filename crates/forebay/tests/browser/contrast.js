(() => {
  // Computed colours are rgb(), rgba(), color(srgb …) or transparent: drawn, all are four bytes.
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const over = (colour, under) => {
    context.fillStyle = `rgb(${under.join()})`;
    context.fillRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const linear = (byte) => {
    const share = byte / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  };
  const light = ([red, green, blue]) =>
    0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const behind = (node) => {
    const path = [];
    for (let one = node; one; one = one.parentElement) path.unshift(one);
    return path.reduce(
      (under, one) => over(getComputedStyle(one).backgroundColor, under),
      [255, 255, 255],
    );
  };
  const faint = new Set();
  let checked = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const isSeen =
      walker.currentNode.data.trim() !== "" &&
      node.checkVisibility({ visibilityProperty: true }) &&
      !node.closest(".sr-only, .skip, script, noscript, template, .canvas, :disabled");
    if (!isSeen) continue;
    checked += 1;
    const style = getComputedStyle(node);
    const under = behind(node);
    const [bright, dim] = [light(over(style.color, under)), light(under)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (bright + 0.05) / (dim + 0.05);
    if (ratio < (isLarge ? 3 : 4.5)) {
      faint.add(`${walker.currentNode.data.trim()}: ${ratio.toFixed(2)} (${node.className})`);
    }
  }
  return { checked, faint: [...faint] };
})()
