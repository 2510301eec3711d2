/** `npm run --silent openapi`: prints the API's document. Every synthesis runs it and puts the document into the bundle. */
import { apiDocument } from './openapi-document.ts';

process.stdout.write(`${JSON.stringify(apiDocument(), null, 2)}\n`);
