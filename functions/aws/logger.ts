import { Logger } from '@aws-lambda-powertools/logger';

/**
 * The functions' logger; its service name and level come from the environment variables POWERTOOLS_SERVICE_NAME and
 * LOG_LEVEL.
 */
export const logger = new Logger();
