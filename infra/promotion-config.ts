import { defaultPromotionPolicy, type PromotionPolicy } from '../functions/contracts/promotion-policy.ts';

/** Time of the daily run, UTC. */
export const DAILY_PROMOTION = { hour: 2, minute: 30 };

/** The policy of an installation: change it here. */
export const promotion: PromotionPolicy = { ...defaultPromotionPolicy };

/** Every mistake that would stop the daily run, or keep it from ever promoting a tenant. */
export function promotionProblems(config: PromotionPolicy): string[] {
  const problems: string[] = [];
  const require = (name: string, value: number, holds: boolean, expected: string): void => {
    if (!holds) problems.push(`promotion: ${name} is ${value}, expected ${expected}`);
  };
  const { business, enterprise, maintenanceWindow } = config;
  const thresholds = {
    'business.users': business.users,
    'business.monthlyRevenue': business.monthlyRevenue,
    'enterprise.users': enterprise.users,
    'enterprise.rowOperationsPerDay': enterprise.rowOperationsPerDay,
  };
  for (const [name, value] of Object.entries(thresholds))
    require(name, value, value > 0 && Number.isFinite(value), 'more than 0');
  const { storageShare, sustained } = enterprise;
  require('enterprise.storageShare', storageShare, storageShare > 0 &&
    storageShare <= 1, 'more than 0, at most 1');
  require('enterprise.sustained.last', sustained.last, isWhole(sustained.last, 1, 30), '1 to 30');
  require('enterprise.sustained.samples', sustained.samples, isWhole(
    sustained.samples,
    1,
    sustained.last,
  ), `1 to ${sustained.last}`);
  require('demotionMargin', config.demotionMargin, config.demotionMargin >= 0 &&
    config.demotionMargin <= 10, '0 to 10');
  for (const name of ['cooldownDays', 'retryDays', 'declinePauseDays', 'sampleMaxAgeDays'] as const)
    require(name, config[name], config[name] >= 0 && config[name] <= 365, '0 to 365');
  require('maxRunningMoves', config.maxRunningMoves, isWhole(config.maxRunningMoves, 0, 100), '0 to 100');
  const { startHour, endHour } = maintenanceWindow;
  require('maintenanceWindow.startHour', startHour, isWhole(startHour, 0, 23), '0 to 23');
  require('maintenanceWindow.endHour', endHour, isWhole(endHour, 0, 23), '0 to 23');
  if (!isInside(DAILY_PROMOTION.hour, startHour, endHour))
    problems.push(
      `promotion: maintenanceWindow ${startHour} to ${endHour} leaves out ${DAILY_PROMOTION.hour}, the hour of the daily run`,
    );
  return problems;
}

function isInside(hour: number, start: number, end: number): boolean {
  if (start === end) return true;
  return start < end ? hour >= start && hour < end : hour >= start || hour < end;
}

const isWhole = (value: number, least: number, most: number): boolean =>
  Number.isInteger(value) && value >= least && value <= most;
