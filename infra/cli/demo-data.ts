/** The organisations of the demo: one of each tier, small enough to be read whole. */
export interface DemoTenant {
  readonly slug: string;
  readonly name: string;
  readonly tier: 'starter' | 'business' | 'enterprise';
  readonly employees: number;
  readonly complianceRequirements?: readonly string[];
}

export const DEMO_TENANTS: readonly DemoTenant[] = [
  { slug: 'initech', name: 'Initech', tier: 'starter', employees: 12 },
  { slug: 'globex', name: 'Globex Corporation', tier: 'business', employees: 24 },
  { slug: 'acme', name: 'Acme Inc.', tier: 'enterprise', employees: 36, complianceRequirements: ['soc2'] },
];

const FIRST_NAMES = [
  'Amara',
  'Benedikt',
  'Chiara',
  'Dmitri',
  'Elif',
  'Farid',
  'Greta',
  'Hiroshi',
  'Ines',
  'Jamal',
  'Katarina',
  'Luca',
  'Maribel',
  'Noor',
  'Oskar',
  'Priya',
  'Quentin',
  'Rosa',
  'Sanjay',
  'Tove',
  'Umar',
  'Valeria',
  'Wen',
  'Yara',
];
const LAST_NAMES = [
  'Abadi',
  'Bergström',
  'Castillo',
  'Dubois',
  'Eriksen',
  'Fischer',
  'García',
  'Hassan',
  'Ivanov',
  'Johansson',
  'Kimura',
  'López',
  'Müller',
  'Nakamura',
  'Okafor',
  'Papadopoulos',
  'Quintero',
  'Rossi',
  'Singh',
  'Tanaka',
  'Usman',
  'Vega',
  'Weber',
];
const DEPARTMENTS = ['Engineering', 'Product', 'Sales', 'People', 'Finance', 'Support'];
const TITLES: Readonly<Record<string, readonly string[]>> = {
  Engineering: [
    'Software Engineer',
    'Senior Software Engineer',
    'Site Reliability Engineer',
    'Data Engineer',
  ],
  Product: ['Product Manager', 'Product Designer', 'User Researcher'],
  Sales: ['Account Executive', 'Sales Engineer', 'Customer Success Manager'],
  People: ['HR Business Partner', 'Recruiter'],
  Finance: ['Accountant', 'Financial Analyst'],
  Support: ['Support Engineer', 'Support Specialist'],
};
const STATUSES = ['active', 'active', 'active', 'active', 'active', 'on_leave', 'active', 'inactive'];

export const DEMO_SKILLS = [
  {
    skillName: 'PostgreSQL',
    skillCategory: 'Data',
    description: 'Relational modelling, SQL and operations.',
  },
  { skillName: 'TypeScript', skillCategory: 'Engineering', description: 'Typed JavaScript for services.' },
  { skillName: 'AWS', skillCategory: 'Engineering', description: 'Building and running on AWS.' },
  { skillName: 'Negotiation', skillCategory: 'Commercial', description: 'Reaching agreements that last.' },
  { skillName: 'Interviewing', skillCategory: 'People', description: 'Structured, fair interviews.' },
  { skillName: 'Forecasting', skillCategory: 'Finance', description: 'Planning from data.' },
].map((skill) => ({ ...skill, proficiencyLevels: ['beginner', 'intermediate', 'advanced', 'expert'] }));

/** The n-th employee of a demo tenant; the same n gives the same person. */
export function demoEmployee(slug: string, n: number) {
  const firstName = pick(FIRST_NAMES, n * 7 + slug.length);
  const lastName = pick(LAST_NAMES, n * 5 + slug.length * 3);
  const department = pick(DEPARTMENTS, n);
  return {
    email: `${plain(firstName)}.${plain(lastName)}.${n}@${slug}.test`,
    firstName,
    lastName,
    department,
    jobTitle: pick(TITLES[department] ?? ['Employee'], Math.floor(n / DEPARTMENTS.length)),
    hireDate: `20${String(15 + (n % 10)).padStart(2, '0')}-${String(1 + (n % 12)).padStart(2, '0')}-01`,
    status: pick(STATUSES, n),
    profileData: { location: pick(['Berlin', 'Austin', 'Lagos', 'Osaka', 'Madrid'], n), remote: n % 3 === 0 },
  };
}

function pick<Value>(values: readonly Value[], n: number): Value {
  return values[n % values.length] as Value;
}

function plain(name: string): string {
  return name
    .normalize('NFD')
    .replace(/[^a-zA-Z]/g, '')
    .toLowerCase();
}
