"""The converter from INT32 to float32."""
