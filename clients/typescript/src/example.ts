/** Streams one response: node dist/example.js http://127.0.0.1:50051 "Say hello." [model] */
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  ErrorInfoSchema,
  ExecutionSchema,
  FinishReason,
  GenerationService,
  LocalizedMessageSchema,
  Role,
} from "./index.js";

const [baseUrl = "http://127.0.0.1:50051", text = "Say hello.", model = ""] = process.argv.slice(2);
const client = createClient(GenerationService, createGrpcTransport({ baseUrl }));
const messages = [{ role: Role.USER, parts: [{ content: { case: "text" as const, value: text } }] }];

try {
  for await (const { event } of client.streamGenerate({ request: { model, messages } })) {
    if (event.case === "delta" && event.value.delta.case === "text") process.stdout.write(event.value.delta.value);
    if (event.case !== "completed") continue;
    const { usage, finishReason } = event.value;
    console.log(`\n${FinishReason[finishReason]}: ${usage?.inputTokens} tokens in, ${usage?.outputTokens} out`);
  }
} catch (thrown) {
  const error = ConnectError.from(thrown);
  const solution = error.findDetails(LocalizedMessageSchema)[0]?.message ?? "";
  // Errors of the connection itself have a code but no reason.
  const reason = error.findDetails(ErrorInfoSchema)[0]?.reason ?? Code[error.code];
  console.error(`${reason}: ${error.rawMessage}\n${solution}`);
  for (const { provider, model, errorReason } of error.findDetails(ExecutionSchema)[0]?.attempts ?? []) {
    console.error(`attempt: ${provider}/${model} ${errorReason}`);
  }
  process.exitCode = 1;
}
