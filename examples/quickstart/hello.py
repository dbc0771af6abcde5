"""One call by the official SDK: only the base URL and the key differ from a call to OpenAI."""

import openai

client = openai.OpenAI()  # OPENAI_BASE_URL and OPENAI_API_KEY
try:
    answer = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Say hello."}],
    )
except openai.APIStatusError as refusal:
    raise SystemExit(f"refused: {refusal.status_code} {refusal.code}")
print(answer.choices[0].message.content)
print(f"cost in USD: {answer.usage.cost_usd:.9f}")
