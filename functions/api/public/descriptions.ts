import * as z from 'zod/mini';
import { describePublicContext } from '../../http/openapi/describe-context.ts';
import { routes } from './routes.ts';

const text = z.string();

export const publicRoutes = describePublicContext({
  tags: { Public: 'What needs no token.' },
  routes,
  params: { 'docs.file': z.object({ file: z.string() }) },
  descriptions: {
    'health.read': {
      tag: 'Public',
      summary: 'Probe the API',
      description: 'The API is deployed and its functions run. Uses no database.',
      answers: { 200: z.object({ status: z.literal('ok') }) },
    },
    'docs.document': {
      tag: 'Public',
      summary: 'Read this document',
      answers: { 200: z.record(z.string(), z.unknown()) },
      etag: true,
    },
    'docs.page': {
      tag: 'Public',
      summary: 'Show this document',
      answers: { 200: text },
      etag: true,
      mediaType: 'text/html',
    },
    'docs.file': {
      tag: 'Public',
      summary: 'Read a file of the page',
      answers: { 200: text },
      etag: true,
      mediaType: 'text/*',
    },
  },
});
