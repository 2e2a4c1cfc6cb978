"use strict";
(() => {
  // Several may be on a page, each with this script: it starts those that are not started yet.
  for (const player of document.querySelectorAll(".rr-player:not([data-started])")) {
    player.dataset.started = "";
    const part = selector => player.querySelector(selector);
    const facts = JSON.parse(part('script[type="application/json"]').textContent);
    const button = part("button"), slider = part("input"), output = part("output");
    const images = [...player.querySelectorAll(".rr-frame")];
    const captions = [...player.querySelectorAll("figcaption")];
    const frames = [...facts.frames, images.map(image => image.src)], last = frames.length - 1;
    let timer = null;

    const show = i => {
      slider.value = i;
      output.textContent = facts.told[i];
      slider.setAttribute("aria-valuetext", `${facts.told[i]}: ${facts.captions[i].join(", ")}`);
      images.forEach((image, n) => { image.src = frames[i][n]; });
      captions.forEach((caption, n) => { caption.textContent = facts.captions[i][n]; });
    };
    const stop = () => {
      clearInterval(timer);
      timer = null;
      button.textContent = "Play";
    };
    const toggle = () => {
      if (timer) return stop();
      if (Number(slider.value) === last) show(0);
      button.textContent = "Pause";
      timer = setInterval(() => {
        show(Number(slider.value) + 1);
        if (Number(slider.value) === last) stop();
      }, facts.pause);
    };
    button.addEventListener("click", toggle);
    slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
    slider.addEventListener("keydown", event => {
      if (event.key !== " ") return;
      event.preventDefault();
      toggle();
    });
    slider.max = last;
    button.hidden = slider.hidden = false;
    show(last);
  }
})();
