// The real packages as judge of our implementation of the format; crates/cojson/tests/it/interop runs this.
//
//   node main.mjs generate SEED COUNT   prints random cases, each with its report
//   node main.mjs report < CASES        prints the reports of cases that were made elsewhere
//   node main.mjs roles                 prints the table of who may do what
import { generate } from "./generate.mjs";
import { report } from "./report.mjs";
import { roles } from "./roles.mjs";
import { begin } from "./world.mjs";

const [command, seed, count] = process.argv.slice(2);

async function stdin() {
  let text = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) text += chunk;
  return JSON.parse(text);
}

const commands = {
  async generate() {
    const cases = [];
    for (let index = 0; index < Number(count); index++) {
      const it = await generate(`${seed}.${index}`);
      cases.push({ case: it, report: report(it) });
    }
    return cases;
  },
  async report() {
    begin("reports");
    return (await stdin()).map(report);
  },
  roles,
};

process.stdout.write(JSON.stringify(await commands[command]()), () => process.exit(0));
