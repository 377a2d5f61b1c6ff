import { loadService } from '../../shared/rpc/proto-files.ts';

/** `outrigger.admin.v1.Admin`, as both of its ends need it. */
export const ADMIN_SERVICE = loadService('outrigger/admin/v1/admin.proto', 'outrigger.admin.v1.Admin');
