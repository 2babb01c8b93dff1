// Random JSON, headers and other ingredients.
import { cojsonInternals, crypto } from "./world.mjs";

const TEXTS = ["", "a", "é", "\u{1f600}", "e\u0301", "👨‍👩‍👧", "\r\n", "각", "\u2028", "\u007f", "\"\\/\b\f\n\r\t\u0001", "</script>", "encrypted_Ux", "binary_U=", "\uffff", "\ue000"];
const NUMBERS = [0, -0, 1, -1, 0.1, 1e20, 1e21, 1e-6, 1e-7, 5e-324, Number.MAX_VALUE, Number.MAX_SAFE_INTEGER, -1.5];

export const text = (random) => Array.from({ length: random.below(4) }, () => random.pick(TEXTS)).join("");

function number(random) {
  if (random.chance(50)) return random.pick(NUMBERS);
  const any = new DataView(random.bytes(8).buffer).getFloat64(0);
  return Number.isFinite(any) ? any : random.below(1000);
}

export function json(random, depth = 3) {
  switch (random.below(depth > 0 ? 7 : 5)) {
    case 0:
      return null;
    case 1:
      return random.chance(50);
    case 2:
      return number(random);
    case 3:
    case 4:
      return text(random);
    case 5:
      return Array.from({ length: random.below(4) }, () => json(random, depth - 1));
    default:
      return object(random, () => json(random, depth - 1));
  }
}

const object = (random, value) =>
  Object.fromEntries(Array.from({ length: random.below(4) }, () => [`${random.below(12)}${text(random)}`, value()]));

export function primitive(random) {
  const hex = () => Buffer.from(random.bytes(32)).toString("hex");
  const key = crypto.newRandomKeySecret().secret;
  const material = { in: text(random), tx: { sessionID: text(random), txIndex: random.below(100) } };
  return { value: json(random), header: header(random), seed: hex(), otherSeed: hex(), key, material };
}

function header(random) {
  const group = cojsonInternals.idforHeader({ type: "comap", ruleset: { type: "unsafeAllowAll" }, meta: null, uniqueness: text(random) }, crypto);
  const uniqueness = random.pick([text(random), random.chance(50), null, random.below(1 << 30), object(random, () => text(random))]);
  const ruleset = random.pick([
    { type: "unsafeAllowAll" },
    { type: "ownedByGroup", group },
    { type: "ownedByGroup", group, restrictDeletion: random.chance(50) },
    { type: "group", initialAdmin: group },
  ]);
  const created = random.pick([{}, { createdAt: null }, { createdAt: new Date(random.below(1 << 30) * 1000).toISOString() }]);
  const meta = random.pick([null, { name: text(random) }, { type: "binary" }, object(random, () => text(random))]);
  return { type: random.pick(["comap", "colist", "costream", "coplaintext"]), ruleset, meta, ...created, uniqueness };
}
