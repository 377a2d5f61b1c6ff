/** The scenarios for grants without a browser; of each the check without which it would have judged nothing. */
export const GRANTS: Readonly<Record<string, string>> = {
  'auth/client-credentials-basic': 'client-credentials-basic-auth',
  'auth/client-credentials-jwt': 'client-credentials-jwt-verified',
  'auth/enterprise-managed-authorization': 'complete-flow-jwt-bearer',
};
