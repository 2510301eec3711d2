import { config, type StrataConfig } from './config.ts';
import { ConfigError, validateConfig } from './validate-config.ts';

/**
 * The configuration with what the environment overrides: `DB_PIPELINE` (`on` or `off`).
 * @throws {ConfigError}
 */
export function loadConfig(environment: NodeJS.ProcessEnv = process.env): StrataConfig {
  const pipeline = environment.DB_PIPELINE;
  if (pipeline && pipeline !== 'on' && pipeline !== 'off') {
    throw new ConfigError([`DB_PIPELINE is "${pipeline}", expected "on" or "off"`]);
  }
  return validateConfig({ ...config, ...(pipeline ? { databasePipeline: pipeline as 'on' | 'off' } : {}) });
}
