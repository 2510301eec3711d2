/** Tags of the KMS keys that functions make. Their rights name keys by these, because ids are not known before. */
const COMPONENT_TAG = 'strata:component';

/** Of a tenant's key, and of the copy of such a key. */
export const TENANT_ID_TAG = 'strata:tenant-id';

/** Of a tenant's key. */
export const TENANT_FIELD_KEY = { TagKey: COMPONENT_TAG, TagValue: 'tenant-field-key' } as const;

/** Of the copy in a second region of any key for encrypted fields. */
export const FIELD_KEY_COPY = { TagKey: COMPONENT_TAG, TagValue: 'field-key-copy' } as const;
