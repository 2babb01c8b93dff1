// How the programs here talk with a test: a line of JSON in, `{ request, ...parameters }`, and a line out, until the input
// ends.
import { createInterface } from "node:readline";

export async function answer(requests) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { request, ...parameters } = JSON.parse(line);
    try {
      process.stdout.write(JSON.stringify({ ok: await requests[request](parameters) }) + "\n");
    } catch (error) {
      process.stdout.write(JSON.stringify({ error: String(error?.stack ?? error) }) + "\n");
    }
  }
}
