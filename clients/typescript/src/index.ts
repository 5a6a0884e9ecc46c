/** The generated messages and services, and the error details. */
export * from "./gen/aimanager/v1/content_pb.js";
export * from "./gen/aimanager/v1/conversation_pb.js";
export * from "./gen/aimanager/v1/embedding_pb.js";
export * from "./gen/aimanager/v1/generation_pb.js";
export * from "./gen/aimanager/v1/health_pb.js";
export * from "./gen/aimanager/v1/metrics_pb.js";
export * from "./gen/aimanager/v1/model_pb.js";
export * from "./gen/aimanager/v1/quality_pb.js";
export * from "./gen/aimanager/v1/usage_pb.js";
export * from "./gen/google/rpc/error_details_pb.js";
