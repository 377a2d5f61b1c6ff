import { STORE_KINDS } from '../support/stores.ts';
import { tellSessionStore } from './session-store-stories.ts';

for (const kind of STORE_KINDS) tellSessionStore(kind);
