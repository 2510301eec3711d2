/** A process of its own: imports the module named by its argument and prints how long that took, in milliseconds. */
import { pathToFileURL } from 'node:url';

const module = pathToFileURL(process.argv[2] as string).href;
const start = performance.now();
await import(module);
console.log(performance.now() - start);
process.exit();
