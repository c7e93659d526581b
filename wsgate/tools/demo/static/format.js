// Numbers for people.

const compact = new Intl.NumberFormat("en", { notation: "compact", minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat("en");

export const count = (n) => (Number.isFinite(n) ? whole.format(n) : "–");
export const dollars = (n) => (Number.isFinite(n) ? `$${compact.format(n)}` : "–");

// Five significant digits, never an exponent.
export function price(n) {
  if (!Number.isFinite(n)) return "–";
  const magnitude = n > 0 ? Math.floor(Math.log10(n)) : 0;
  return `$${n.toFixed(Math.min(12, Math.max(2, 4 - magnitude)))}`;
}

export function change(now, before) {
  const share = now / before - 1;
  if (!Number.isFinite(share)) return { text: "–", share: 0 };
  return { text: `${share < 0 ? "−" : "+"}${Math.abs(share * 100).toFixed(1)}%`, share };
}

export function bytes(n) {
  if (n < 1000) return [String(Math.round(n)), "bytes"];
  if (n < 1e6) return [(n / 1e3).toFixed(n < 1e4 ? 1 : 0), "KB"];
  return [(n / 1e6).toFixed(1), "MB"];
}

export const clock = (time = new Date()) =>
  time.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

// A steady hue for a name, so that a token keeps its colour.
export function hue(text) {
  let hash = 7;
  for (const character of text) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return hash % 360;
}
