import { MeshError } from '../errors.ts';

/** A message that is not JSON (-32700), or JSON that is no acceptable JSON-RPC message (-32600). */
export class JsonRpcFault extends MeshError {
  readonly code: -32700 | -32600;
  /** The raw id to answer under, where the message showed exactly one valid id. */
  readonly id: Buffer | undefined;

  constructor(code: -32700 | -32600, message: string, id?: Buffer) {
    super(code === -32700 ? 'parse_error' : 'invalid_request', message);
    this.code = code;
    this.id = id;
  }
}
