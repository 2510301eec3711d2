/** What the functions of the API write to the log for each request, and the hourly aggregation reads. */

/** `message` of a request's line. */
export const REQUEST_LINE = 'request';

/** Namespace of the metrics that CloudWatch makes of the lines. */
export const METRICS_NAMESPACE = 'Strata';
