for (const pair of document.querySelectorAll(".wipe")) {
  const slider = pair.querySelector("input"), after = pair.querySelector(".over");
  const set = () => { after.style.clipPath = `inset(0 0 0 ${slider.value}%)`; pair.style.setProperty("--at", `${slider.value}%`); };
  slider.addEventListener("input", set);
  set();
}
