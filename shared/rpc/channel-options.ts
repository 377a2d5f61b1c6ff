import type { ChannelOptions, ServerOptions } from '@grpc/grpc-js';

/** The longest gRPC message on a mesh stream, in bytes. Senders stay near 64 KiB; this is what a peer may try. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/** HTTP/2 window of the sidecar's side: without it a 1 MiB answer holds everybody up. */
const FLOW_CONTROL_BYTES = 4 * 1024 * 1024;
/** What one HTTP/2 session may keep in a replica, in MiB. Unset, grpc-js has no limit. */
const SESSION_MEMORY_MIB = 64;

/** For the sidecar's channel to one replica. One channel carries one stream and is made anew for the next attempt, so back-off is ours alone. */
export const MESH_CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc-node.flow_control_window': FLOW_CONTROL_BYTES,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 15_000,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_retries': 0,
  'grpc.enable_channelz': 0,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
};

export const SERVER_OPTIONS: ServerOptions = {
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc-node.max_session_memory': SESSION_MEMORY_MIB,
  'grpc.max_concurrent_streams': 100,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
};
