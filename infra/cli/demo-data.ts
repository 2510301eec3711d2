/** The organisations of the demo: one of each tier, small enough to be read completely. */
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

/** The body of `POST /frameworks/import`. */
export const DEMO_FRAMEWORK = {
  frameworkName: 'Company skills',
  version: '2026.1',
  frameworkType: 'custom',
  description: 'The skills that this company develops, with four levels each.',
  frameworkData: { owner: 'People', reviewedEvery: '12 months' },
  skills: DEMO_SKILLS,
};

/** `requires`: skills by name, each with its lowest level. */
export const DEMO_ROLES = [
  {
    roleName: 'Backend Engineer',
    roleLevel: 'senior',
    department: 'Engineering',
    description: 'Builds and runs services and their data.',
    requires: [
      ['TypeScript', 'advanced'],
      ['PostgreSQL', 'advanced'],
      ['AWS', 'intermediate'],
    ],
  },
  {
    roleName: 'Account Executive',
    roleLevel: 'professional',
    department: 'Sales',
    description: 'Wins customers and keeps them.',
    requires: [
      ['Negotiation', 'advanced'],
      ['Forecasting', 'beginner'],
    ],
  },
  {
    roleName: 'Team Lead',
    roleLevel: 'lead',
    department: 'People',
    description: 'Leads a team of up to ten people.',
    requires: [
      ['Interviewing', 'intermediate'],
      ['Forecasting', 'intermediate'],
      ['Negotiation', 'beginner'],
    ],
  },
] as const;

const LEVELS = [
  { value: 'never', score: 0 },
  { value: 'with help', score: 1 },
  { value: 'alone', score: 2 },
  { value: 'I teach it', score: 3 },
];

/** @param skillIds by name. */
export function demoAssessment(skillIds: ReadonlyMap<string, string>) {
  return {
    assessmentName: 'Engineering self-assessment 2026',
    assessmentType: 'skills',
    description: 'Ten minutes, once a year.',
    questions: [
      {
        id: 'queries',
        skillId: skillIds.get('PostgreSQL'),
        kind: 'choice',
        prompt: 'Have you read a query plan?',
        options: LEVELS,
        weight: 2,
      },
      {
        id: 'types',
        skillId: skillIds.get('TypeScript'),
        kind: 'choice',
        prompt: 'Have you written a generic type?',
        options: LEVELS,
      },
      {
        id: 'confidence',
        skillId: skillIds.get('AWS'),
        kind: 'scale',
        prompt: 'How sure are you on call, from 1 to 5?',
      },
      { id: 'wishes', kind: 'text', prompt: 'What would you like to learn next?' },
    ],
    scoringConfig: { method: 'weighted-average', passScore: 60 },
  };
}

/** What the n-th employee answers. */
export function demoAnswers(n: number) {
  return {
    queries: pick(LEVELS, n + 1).value,
    types: pick(LEVELS, n + 2).value,
    confidence: 2 + (n % 4),
    wishes: pick(['Query planning', 'Incident command', 'Public speaking'], n),
  };
}

/** Of the first employees, one each. */
export const DEMO_CERTIFICATIONS = [
  {
    certificationName: 'AWS Certified Solutions Architect',
    issuingOrganization: 'Amazon Web Services',
    issueDate: '2024-03-11',
    expiryDate: '2027-03-11',
    credentialId: 'SAA-10231',
    verificationStatus: 'verified',
  },
  {
    certificationName: 'Professional Scrum Product Owner',
    issuingOrganization: 'Scrum.org',
    issueDate: '2022-09-01',
    verificationStatus: 'pending',
  },
  {
    certificationName: 'Certified Management Accountant',
    issuingOrganization: 'Institute of Management Accountants',
    issueDate: '2021-05-20',
    expiryDate: '2026-05-20',
    credentialUrl: 'https://certificates.example/cma/55120',
    verificationStatus: 'verified',
  },
];

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
    ssn: `9${String(10 + (n % 90))}-${String(10 + ((n * 7) % 90))}-${String(1000 + n).slice(-4)}`,
    salary: 42_000 + ((n * 3_750.5) % 60_000),
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
